"""The configuration of Django's admin app, in a module of its own: Django takes one per `apps`."""

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    """Makes the operator's site the one that all admin classes register with."""

    default_site = "quotes.administration.site.OperatorSite"
