"""The examples of the OpenAPI schema: what REST answers about instruments."""

RELIANCE = {
    "key": "NSE_EQ:RELIANCE",
    "segment": "NSE_EQ",
    "symbol": "RELIANCE",
    "name": "RELIANCE INDUSTRIES",
    "type": "EQ",
    "underlying": "",
    "expiry": None,
    "strike": None,
    "lot_size": 1,
    "tick_size": 0.1,
    "exchange_token": 2885,
    "instrument_token": 738561,
    "isin": "INE002A01018",
    "active": True,
}
NIFTY_CALL = {
    "key": "NFO:NIFTY26AUG24000CE",
    "segment": "NFO",
    "symbol": "NIFTY26AUG24000CE",
    "name": "NIFTY",
    "type": "CE",
    "underlying": "NIFTY",
    "expiry": "2026-08-25",
    "strike": 24000,
    "lot_size": 65,
    "tick_size": 0.05,
    "exchange_token": 61593,
    "instrument_token": 15767810,
    "isin": "",
    "active": True,
}
LATEST = {"price": 1400.5, "timestamp": 1786766400000}

PAGE = {
    "next": "https://prices.example.com/api/instruments/?cursor=WyJzeW1ib2wi&prefix=R",
    "previous": None,
    "results": [RELIANCE],
}
PRICED = RELIANCE | {"latest": LATEST}

SEGMENTS = [
    {
        "code": "NFO",
        "exchange": "NSE",
        "kind": "derivatives",
        "description": "NSE equity futures and options",
        "price_divisor": 100,
        "decimals": 2,
        "precedence": 5,
        "aliases": [
            {"vendor": "common", "code": "FO", "product": ""},
            {"vendor": "common", "code": "O", "product": "O"},
            {"vendor": "upstox", "code": "NSE_FO", "product": ""},
        ],
    }
]

CHAIN = {
    "underlying": "NIFTY",
    "segment": "NFO",
    "expiry": "2026-08-25",
    "expiries": ["2026-08-18", "2026-08-25", "2026-09-01"],
    "underlying_price": {
        "key": "NSE_INDEX:NIFTY 50",
        "price": 24035.05,
        "timestamp": 1786766400000,
    },
    "at_the_money": 24000,
    "strikes": [
        {
            "strike": 24000,
            "call": {
                "key": "NFO:NIFTY26AUG24000CE",
                "symbol": "NIFTY26AUG24000CE",
                "lot_size": 65,
                "tick_size": 0.05,
                "instrument_token": 15767810,
                "latest": {"price": 512.35, "timestamp": 1786766400000},
            },
            "put": None,
        }
    ],
}

MARKET = {
    "time": "2026-08-14T04:30:00Z",
    "time_ist": "2026-08-14T10:00:00+05:30",
    "segments": [
        {
            "segment": "NSE_EQ",
            "status": "open",
            "name": "",
            "next_status": "closed",
            "next_change": "2026-08-14T10:00:00Z",
            "next_change_ist": "2026-08-14T15:30:00+05:30",
            "next_open": "2026-08-17T03:45:00Z",
        }
    ],
}

GREEKS = {
    "underlying": "NIFTY",
    "segment": "NFO",
    "expiry": "2026-08-25",
    "expires": "2026-08-25T10:10:00Z",
    "model": "black-scholes",
    "rate": 6.5,
    "underlying_price": {
        "key": "NSE_INDEX:NIFTY 50",
        "price": 24035.05,
        "timestamp": 1786766400000,
    },
    "years": 0.0292237,
    "options": [
        {
            "key": "NFO:NIFTY26AUG24000CE",
            "strike": 24000,
            "type": "CE",
            "price": 512.35,
            "timestamp": 1786766400000,
            "iv": 28.8,
            "delta": 0.53,
            "gamma": 0.00033,
            "theta": -23.7,
            "vega": 16.3,
        }
    ],
}
