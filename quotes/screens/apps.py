from django.apps import AppConfig


class ScreensConfig(AppConfig):
    name = "quotes.screens"
    label = "screens"
    verbose_name = "Dashboard"
