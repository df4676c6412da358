from django.urls import path

from instruments.api import (
    InstrumentsView,
    InstrumentView,
    MarketStatusView,
    OptionChainView,
    SegmentsView,
)
from instruments.greeks_api import GreeksView

urlpatterns = [
    path("segments/", SegmentsView.as_view(), name="segments"),
    path("market-status/", MarketStatusView.as_view(), name="market-status"),
    path("instruments/", InstrumentsView.as_view(), name="instruments"),
    path(
        "instruments/<path:underlying>/option-chain/",
        OptionChainView.as_view(),
        name="option-chain",
    ),
    path("instruments/<path:underlying>/greeks/", GreeksView.as_view(), name="greeks"),
    path("instruments/<path:key>/", InstrumentView.as_view(), name="instrument"),
]
