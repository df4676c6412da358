"""Pages and mails about errors, without credentials; Django's DEFAULT_EXCEPTION_REPORTER.

Django hides settings and fields of forms with telling names, but shows addresses as they are, and
an address may have a key in it.
"""

from django.utils.safestring import SafeString
from django.views.debug import ExceptionReporter

from quotes.runtime.redaction import scrub


class CleanExceptionReporter(ExceptionReporter):
    """Reports an exception with everything hidden that looks like a credential."""

    def get_traceback_html(self) -> SafeString:
        return SafeString(scrub(super().get_traceback_html()))

    def get_traceback_text(self) -> SafeString:
        return SafeString(scrub(super().get_traceback_text()))
