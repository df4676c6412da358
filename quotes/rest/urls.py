from django.urls import path

from quotes.rest.prices import PricesView, PriceView

urlpatterns = [
    path("prices/", PricesView.as_view(), name="prices"),
    path("prices/<path:symbol>/", PriceView.as_view(), name="price"),
]
