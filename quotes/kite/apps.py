from django.apps import AppConfig


class KiteConfig(AppConfig):
    name = "quotes.kite"
    label = "kite"
    verbose_name = "Kite"
