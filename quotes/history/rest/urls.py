from django.urls import path

from quotes.history.rest.api import CandlesView, ManyCandlesView, TicksView

urlpatterns = [
    path("candles/", ManyCandlesView.as_view(), name="candles-of-many"),
    path("instruments/<path:key>/candles/", CandlesView.as_view(), name="candles"),
    path("instruments/<path:key>/ticks/", TicksView.as_view(), name="ticks"),
]
