"""The pages by which segments are granted to, or withdrawn from, many users and groups."""

from collections import Counter
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_http_methods

from quotes.access.bulk_grants import (
    ADD,
    MAX_SUBJECTS,
    UNCHANGED,
    Order,
    PlanChanged,
    PlannedChange,
    digest_of,
    grants_apply,
    plan_grants,
)
from quotes.access.entitlements import EVERY, MAX_DELAY_MINUTES
from quotes.access.explanations import OWN, sourced_grants
from quotes.access.models import CHOICES
from quotes.administration.pages import number, operator_page, show
from quotes.administration.tables import table_row
from quotes.runtime.clock import today_in_india

CHANGE = tuple(f"access.{verb}_segmentgrant" for verb in ("add", "change", "delete"))
_SHOWN_CHANGES = 200
_SHOWN_NAMES = 20


class OrderForm(forms.Form):
    """What is to be granted or withdrawn, and of whom."""

    users = forms.CharField(required=False, widget=forms.HiddenInput)
    groups = forms.CharField(required=False, widget=forms.HiddenInput)
    action = forms.ChoiceField(
        choices=[("grant", "Grant"), ("withdraw", "Withdraw")],
        widget=forms.RadioSelect,
        initial="grant",
    )
    segments = forms.MultipleChoiceField(
        choices=CHOICES,
        widget=forms.CheckboxSelectMultiple,
        help_text="OTHER: names that the master does not know.",
    )
    delay_minutes = forms.IntegerField(
        min_value=0,
        max_value=MAX_DELAY_MINUTES,
        initial=0,
        required=False,
        label="Delay in minutes",
        help_text="How late prices come; 0: in real time.",
    )
    valid_from = forms.DateField(
        required=False,
        label="First day",
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"placeholder": "2026-11-27"}),
        help_text="Indian date, such as 2026-11-27; empty: from now on.",
    )
    valid_until = forms.DateField(
        required=False,
        label="Last day",
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(attrs={"placeholder": "2026-11-27"}),
        help_text="Indian date, such as 2027-03-31; empty: no end.",
    )

    def clean_users(self) -> list[int]:
        return _ids(self.cleaned_data["users"])

    def clean_groups(self) -> list[int]:
        return _ids(self.cleaned_data["groups"])

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or self.cleaned_data
        first, last = values.get("valid_from"), values.get("valid_until")
        if first and last and last < first:
            self.add_error("valid_until", "The last day is before the first.")
        return values

    def order(self) -> Order:
        """Return the order of a valid form."""
        values = self.cleaned_data
        return Order(
            values["action"] == "withdraw",
            values["segments"],
            values["delay_minutes"] or 0,
            values["valid_from"],
            values["valid_until"],
        )


def _ids(text: str) -> list[int]:
    """Return the ids of a comma-separated list; raise ValidationError."""
    parts = list(filter(None, text.split(",")))
    if len(parts) > MAX_SUBJECTS:
        raise forms.ValidationError(f"At most {MAX_SUBJECTS} can be chosen at once.")
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise forms.ValidationError("The users and groups must be numbers.")
    return [int(part) for part in dict.fromkeys(parts)]


class _Subjects:
    """The users and groups that were chosen, and that there are."""

    def __init__(self, request: HttpRequest) -> None:
        source = request.POST or request.GET
        model: Any = get_user_model()
        try:
            user_ids, group_ids = _ids(source.get("users", "")), _ids(source.get("groups", ""))
            if len(user_ids) + len(group_ids) > MAX_SUBJECTS:
                raise forms.ValidationError(f"At most {MAX_SUBJECTS} can be chosen at once.")
            self.problem = ""
        except forms.ValidationError as error:
            user_ids, group_ids, self.problem = [], [], error.messages[0]
        self.users: list[Any] = list(model.objects.filter(pk__in=user_ids).order_by("pk"))
        self.groups = list(Group.objects.filter(pk__in=group_ids).order_by("pk"))
        if not self.problem and not self.users and not self.groups:
            self.problem = "Choose users or groups first, in their lists."
        for found, permission in (
            (self.users, "auth.change_user"),
            (self.groups, "auth.change_group"),
        ):
            if found and not request.user.has_perm(permission):
                raise PermissionDenied

    @property
    def fields(self) -> dict[str, str]:
        """The values of the form that name them."""
        return {
            "users": ",".join(str(one.pk) for one in self.users),
            "groups": ",".join(str(one.pk) for one in self.groups),
        }

    @property
    def text(self) -> str:
        names = [one.get_username() for one in self.users]
        names += [f"group {one.name}" for one in self.groups]
        more = len(names) - _SHOWN_NAMES
        return ", ".join(names[:_SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


@require_http_methods(["GET", "HEAD", "POST"])
@operator_page("access.view_segmentgrant", *CHANGE)
def bulk_grants(request: HttpRequest) -> HttpResponse:
    """Show the form, then what it would change; change it when that is confirmed."""
    subjects = _Subjects(request)
    if subjects.problem:
        messages.error(request, subjects.problem)
        return redirect("admin:auth_user_changelist")
    if request.method != "POST":
        return _form_page(request, OrderForm(initial=subjects.fields), subjects)
    form = OrderForm(request.POST)
    if not form.is_valid() or "again" in request.POST:
        return _form_page(request, form, subjects)
    order = form.order()
    if digest := request.POST.get("digest"):
        try:
            counts = grants_apply(
                order,
                users=subjects.users,
                groups=subjects.groups,
                digest=digest,
                actor=request.user,
            )
        except PlanChanged:
            messages.error(request, "Grants have changed since the preview: look at it again.")
        else:
            messages.success(request, f"Done: {_counts_text(counts)}.")
            is_of_groups = subjects.groups and not subjects.users
            return redirect(f"admin:auth_{'group' if is_of_groups else 'user'}_changelist")
    changes = plan_grants(order, users=subjects.users, groups=subjects.groups)
    return _preview_page(request, form, subjects, order, changes)


def _form_page(request: HttpRequest, form: OrderForm, subjects: _Subjects) -> HttpResponse:
    title = "Grant or withdraw segments"
    return show(request, "bulk_grants.html", title, form=form, subjects=subjects)


def _preview_page(
    request: HttpRequest,
    form: OrderForm,
    subjects: _Subjects,
    order: Order,
    changes: list[PlannedChange],
) -> HttpResponse:
    counts = Counter(one.kind for one in changes)
    real = [one for one in changes if one.kind != UNCHANGED]
    rows = [
        table_row(str(at), one.subject, one.kind, one.before, one.after)
        for at, one in enumerate(real[:_SHOWN_CHANGES])
    ]
    return show(
        request,
        "bulk_grants_preview.html",
        "What changes",
        form=form,
        subjects=subjects,
        counts=_counts_text(counts),
        rows=rows,
        left_out=number(len(real) - len(rows)) if len(real) > len(rows) else "",
        remaining=_remaining(order, subjects.users) if order.withdraw else [],
        digest=digest_of(changes),
        is_empty=not real,
    )


def _counts_text(counts: Counter[str]) -> str:
    """Return the numbers of changes in words, as in `12 to add, 3 to leave as it is`."""
    order = sorted(counts, key=lambda kind: kind != ADD)
    return ", ".join(f"{kind}: {number(counts[kind])}" for kind in order) or "no change"


def _remaining(order: Order, users: list[Any]) -> list[str]:
    """Return what users go on to see of the segments that are withdrawn, and why."""
    today = today_in_india()
    texts = []
    for user_id, grants in sourced_grants(users).items():
        for segment in order.segments:
            sources = {
                "own grant of every segment" if one.source == OWN else one.source
                for one in grants
                if one.covers(segment, today)
                and not (one.source == OWN and one.grant.segment in order.segments)
            }
            if sources and segment != EVERY:
                name = next(user.get_username() for user in users if user.pk == user_id)
                texts.append(f"{name} still sees {segment}: {', '.join(sorted(sources))}")
    more = len(texts) - _SHOWN_NAMES
    return texts[:_SHOWN_NAMES] + ([f"and {more} more"] if more > 0 else [])
