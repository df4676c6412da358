"""TradingView's UDF: charting front ends show the charts of this server."""
