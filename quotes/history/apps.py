from django.apps import AppConfig


class HistoryConfig(AppConfig):
    name = "quotes.history"
    label = "history"
    verbose_name = "Price history"
    default_auto_field = "django.db.models.BigAutoField"
