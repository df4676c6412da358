from django.apps import AppConfig


class AccessConfig(AppConfig):
    name = "quotes.access"
    label = "access"
    verbose_name = "Access"

    def ready(self) -> None:
        from quotes.access import checks, signals
        from quotes.runtime import log_lines
        from quotes.runtime import redaction as scrubbing

        scrubbing.install()
        log_lines.log_uncaught()
        signals.connect()
        assert checks  # it registers what it defines when it is imported
