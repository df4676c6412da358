from django.urls import path

from quotes.access.rest.api import LogoutView, RefreshView, TicketView, TokenView, VerifyView

urlpatterns = [
    path("token/", TokenView.as_view(), name="token"),
    path("token/refresh/", RefreshView.as_view(), name="token-refresh"),
    path("token/verify/", VerifyView.as_view(), name="token-verify"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("ws-ticket/", TicketView.as_view(), name="ws-ticket"),
]
