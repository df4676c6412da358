"""The addresses of Kite's REST shapes, from the root of the server, without a slash at the end."""

from django.urls import path

from quotes.kite.rest.historical import HistoricalView
from quotes.kite.rest.instruments import InstrumentsView
from quotes.kite.rest.quotes import LtpView, OhlcView, QuoteView

urlpatterns = [
    path("quote", QuoteView.as_view()),
    path("quote/ohlc", OhlcView.as_view()),
    path("quote/ltp", LtpView.as_view()),
    path("instruments", InstrumentsView.as_view()),
    path("instruments/<str:exchange>", InstrumentsView.as_view()),
    path("instruments/historical/<str:token>/<str:interval>", HistoricalView.as_view()),
]
