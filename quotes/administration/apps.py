from django.apps import AppConfig


class AdministrationConfig(AppConfig):
    name = "quotes.administration"
    label = "administration"
    verbose_name = "Operation"
