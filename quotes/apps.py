from django.apps import AppConfig


class QuotesConfig(AppConfig):
    name = "quotes"
    verbose_name = "Quotes"

    def ready(self) -> None:
        from corsheaders.signals import check_request_enabled

        from quotes import checks  # noqa: F401
        from quotes.websocket.origins import local_page_reads

        check_request_enabled.connect(local_page_reads)
