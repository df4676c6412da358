"""Read five-minute candles of a day into a pandas DataFrame."""

from live_price.sync import RestClient

rest = RestClient("http://localhost:5000")
candles = rest.candles("RELIANCE", interval="5m", since="2024-04-05", until="2024-04-05")
frame = candles.to_pandas().set_index("start")
print(frame[["open", "high", "low", "close", "volume"]])
