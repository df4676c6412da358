"""Importing a file in two steps: an upload shows what would change, a confirmation changes it."""

from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path

from instruments.admin.base import MasterAdmin
from instruments.conf import conf
from instruments.errors import BadFile
from instruments.formats.reading import FORMATS
from instruments.import_file import file_import
from instruments.import_report import ImportReport
from instruments.names_in_history import join_offer
from instruments.uploads import Upload, redeem, store

LIST = "admin:instruments_instrument_changelist"
PAGE = "admin:instruments_instrument_import"


class UploadForm(forms.Form):
    file = forms.FileField(help_text="CSV or JSON, plain or gzip.")
    vendor = forms.ChoiceField(
        label="Format",
        required=False,
        choices=[("", "Recognise from the file"), *((name, name.title()) for name in FORMATS)],
    )
    deactivate_missing = forms.BooleanField(
        required=False,
        help_text="Make instruments inactive that the file's segments no longer have.",
    )
    skip_bad_rows = forms.BooleanField(
        required=False, help_text="Import the good rows and leave out the bad ones."
    )

    def clean_file(self) -> "UploadedFile[Any]":
        file = cast("UploadedFile[Any]", self.cleaned_data["file"])
        if (file.size or 0) > conf.max_upload_bytes:
            raise forms.ValidationError(
                f"The file is larger than {conf.max_upload_bytes:,} bytes: pack it with gzip, or "
                "use manage.py import_instruments."
            )
        return file


class UploadPages(MasterAdmin):
    """Admin pages of an import, for users with the permissions to add and change instruments."""

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path("import/", wrap(self.upload), name="instruments_instrument_import"),
            path("import/apply/", wrap(self.apply), name="instruments_instrument_import_apply"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> Any:
        context = {"has_import_permission": self.has_import_permission(request)}
        return super().changelist_view(request, context | (extra_context or {}))

    def has_import_permission(self, request: HttpRequest) -> bool:
        """An import adds instruments and changes others."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    def upload(self, request: HttpRequest) -> HttpResponse:
        """Take a file and show what importing it would change; change nothing."""
        self.check_import_permission(request)
        form = UploadForm(request.POST or None, request.FILES or None)
        if request.method == "POST" and form.is_valid():
            file = form.cleaned_data.pop("file")
            upload = store(file, user_id=self.user_id(request), **form.cleaned_data)
            try:
                report = run(upload, dry_run=True)
            except BadFile as error:
                upload.discard()
                form.add_error("file", f"{error}; nothing was changed.")
            else:
                return self.preview(request, upload, report)
        return self.page(request, "import.html", form=form, title="Import instruments")

    def preview(self, request: HttpRequest, upload: Upload, report: ImportReport) -> HttpResponse:
        if report.refused or not report.writes:
            upload.discard()
        return self.page(
            request,
            "import_preview.html",
            title=f"Import {upload.shown_name}",
            report=report,
            upload=upload,
            ticket=upload.ticket(),
            applicable=not report.refused and report.writes > 0,
        )

    def apply(self, request: HttpRequest) -> HttpResponse:
        """Import the file that was previewed, or discard it."""
        self.check_import_permission(request)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        upload = redeem(request.POST.get("ticket", ""), user_id=self.user_id(request))
        if upload is None:
            messages.error(request, "Upload the file again: the server no longer has it.")
            return redirect(PAGE)
        try:
            if "discard" in request.POST:
                messages.info(request, "The file was discarded, nothing was changed.")
                return redirect(PAGE)
            report = run(upload, dry_run=False)
        except BadFile as error:
            messages.error(request, f"{upload.shown_name}: {error}; nothing was changed.")
            return redirect(PAGE)
        finally:
            upload.discard()
        if report.refused:
            messages.error(request, f"Refused {upload.shown_name}: {report}.")
        else:
            messages.success(request, f"Imported {upload.shown_name}: {report}.")
            if offer := join_offer():
                messages.info(request, offer)
        return redirect(LIST)

    def check_import_permission(self, request: HttpRequest) -> None:
        if not self.has_import_permission(request):
            raise PermissionDenied

    def user_id(self, request: HttpRequest) -> int:
        return cast(int, request.user.pk)

    def page(self, request: HttpRequest, template: str, **context: Any) -> HttpResponse:
        context |= self.admin_site.each_context(request)
        context |= {"opts": self.opts}
        return TemplateResponse(request, f"admin/instruments/instrument/{template}", context)


def run(upload: Upload, *, dry_run: bool) -> ImportReport:
    with upload.path.open("rb") as file:
        return file_import(
            file=file,
            vendor=upload.vendor,
            deactivate_missing=upload.deactivate_missing,
            skip_bad_rows=upload.skip_bad_rows,
            dry_run=dry_run,
        )
