from django.urls import path

from quotes.rest.prices import PricesView, PriceView
from quotes.rest.prices_csv import PricesCsvView

urlpatterns = [
    path("prices.csv", PricesCsvView.as_view(), name="prices-csv"),
    path("prices/", PricesView.as_view(), name="prices"),
    path("prices/<path:symbol>/", PriceView.as_view(), name="price"),
]
