"""The former place of the Daphne server, for start commands of release 0.1.0; gone in 0.3."""

import logging

from quotes.websocket.transports.daphne import main

if __name__ == "__main__":
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("quotes.daphne_server").warning(
        "quotes.daphne_server has moved: run python -m quotes.websocket.transports.daphne"
    )
    main()
