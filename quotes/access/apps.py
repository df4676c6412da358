from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "quotes.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        from quotes.access import checks, schema, scrubbing, signals

        scrubbing.install()
        signals.connect()
        assert checks and schema  # they register what they define when they are imported
