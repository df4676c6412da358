"""A supervisor of children that a test describes: python -m tests.supervised JSON.

The JSON has the children (name, command, stage, and ready: a path that exists when the child is
ready) and the seconds of Timing that differ.
"""

import asyncio
import json
import sys
from pathlib import Path

from quotes.serve.child import Child
from quotes.serve.console import Console
from quotes.serve.supervisor import OWN_NAME, ChildNotReady, Supervisor, Timing


def main() -> None:
    description = json.loads(sys.argv[1])
    children = []
    for child in description["children"]:
        ready = child.pop("ready", None)
        children.append(Child(**child, ready=Path(ready).exists if ready else None))
    console = Console(sys.stdout, [OWN_NAME, *(child.name for child in children)])

    async def started() -> None:
        console.line(OWN_NAME, "everything is started")

    supervisor = Supervisor(
        children, console, started=started, timing=Timing(**description.get("timing", {}))
    )
    try:
        asyncio.run(supervisor.run())
    except ChildNotReady as error:
        sys.exit(str(error))
    finally:
        console.close()


if __name__ == "__main__":
    main()
