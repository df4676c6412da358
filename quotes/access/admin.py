"""Admin of access: users and groups with their entitlements, classes, API keys, changes."""

from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin, messages
from django.contrib.auth import get_user_model
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from quotes.access.bulk_grants import MAX_SUBJECTS
from quotes.access.credentials.api_keys import api_key_create, check_change
from quotes.access.errors import NotPermitted
from quotes.access.models import AccessChange, AccessProfile, ApiKey, SegmentGrant, UserClass
from quotes.access.selectors import read_accounts

if TYPE_CHECKING:
    TabularInline = admin.TabularInline[Any, Any]
    StackedInline = admin.StackedInline[Any, Any]
    ModelAdmin = admin.ModelAdmin[Any]
    UserBase = UserAdmin[User]
    KeyModelForm = ModelForm[ApiKey]
else:
    TabularInline, StackedInline = admin.TabularInline, admin.StackedInline
    ModelAdmin, UserBase = admin.ModelAdmin, UserAdmin
    KeyModelForm = ModelForm


class GrantInline(TabularInline):
    """Grants of a user or a group."""

    model = SegmentGrant
    extra = 0
    fields = ("segment", "delay_minutes", "valid_from", "valid_until", "is_whole")


class ProfileInline(StackedInline):
    """The class of a user."""

    model = AccessProfile
    can_delete = False
    verbose_name_plural = "limits"


class BulkGrants:
    """Lists of users or groups whose grants can be changed together.

    Attributes:
        grants_parameter: of the page that does it.
    """

    grants_parameter = "users"
    actions: ClassVar[Any] = ("change_grants",)

    @admin.action(description="Grant or withdraw segments", permissions=["grants"])
    def change_grants(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        ids = list(queryset.order_by("pk").values_list("pk", flat=True)[: MAX_SUBJECTS + 1])
        if len(ids) > MAX_SUBJECTS:
            messages.error(request, f"At most {MAX_SUBJECTS} can be chosen at once: filter first.")
            return None
        chosen = ",".join(map(str, ids))
        return redirect(f"{reverse('admin:bulk_grants')}?{self.grants_parameter}={chosen}")

    def has_grants_permission(self, request: HttpRequest) -> bool:
        verbs = ("view", "add", "change", "delete")
        return request.user.has_perms([f"access.{verb}_segmentgrant" for verb in verbs])


class EntitledUserAdmin(BulkGrants, UserBase):
    """Users, with the entitlements of today from their own grants and those of their groups."""

    inlines: ClassVar[Any] = (ProfileInline, GrantInline)
    list_display = (
        *("username", "is_active", "is_staff", "user_class", "entitled_to", "last_login"),
    )
    ordering = ("username",)
    list_filter = (
        "is_staff",
        "is_superuser",
        "is_active",
        "groups",
        "segment_grants__segment",
        "groups__segment_grants__segment",
        "access_profile__user_class",
    )
    list_select_related = ("access_profile__user_class",)

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj is not None else ()

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        page = super().get_changelist_instance(request)
        accounts = read_accounts([user.pk for user in page.result_list]).users
        for user in page.result_list:
            user.account = accounts.get(user.pk)
        return page

    @admin.display(description="class")
    def user_class(self, user: Any) -> str:
        profile = getattr(user, "access_profile", None)
        return str(profile.user_class) if profile and profile.user_class else ""

    @admin.display(description="entitled to today")
    def entitled_to(self, user: Any) -> str:
        account = getattr(user, "account", None)
        if account is None:
            return ""
        entitlements = account.entitlements
        late = entitlements.delayed
        texts = [
            code + (f" ({late[code]} min late)" if code in late else "")
            for code in entitlements.segments
        ]
        return ", ".join(texts) or "nothing"


class EntitledGroupAdmin(BulkGrants, GroupAdmin):
    """Groups, with the segments that their users may see."""

    grants_parameter = "groups"
    inlines: ClassVar[Any] = (GrantInline,)
    list_display = ("name", "grants")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("segment_grants")

    @admin.display(description="entitled to")
    def grants(self, group: Any) -> str:
        return "; ".join(map(str, group.segment_grants.all()))


@admin.register(UserClass)
class UserClassAdmin(ModelAdmin):
    search_fields = ("name",)
    list_display = (
        "name",
        "max_symbols",
        "max_segment_symbols",
        "max_connections",
        "max_messages_per_s",
        "max_message_bytes",
        "rest_per_minute",
    )


class ApiKeyForm(KeyModelForm):
    """Refuses keys that act for users whom the actor may not act for."""

    actor: Any = None  # the user of the request

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            before = ApiKey.objects.filter(pk=self.instance.pk).first()
            try:
                check_change(self.instance, before=before, actor=self.actor)
            except NotPermitted as error:
                self.add_error("user" if "user" in self.fields else None, str(error))


@admin.register(ApiKey)
class ApiKeyAdmin(ModelAdmin):
    """API keys; the text of a key is shown once, after it is added.

    A key acts for its user, so only those who may change that user can add one or widen it.
    """

    form = ApiKeyForm

    list_display = (
        *("name", "prefix", "user", "scope", "segments"),
        *("created_at", "expires_at", "is_active"),
    )
    list_filter = ("scope", "is_active")
    search_help_text = "Part of a name, a prefix or a user's name."
    list_select_related = ("user",)
    search_fields = ("name", "prefix", "user__username")
    autocomplete_fields = ("user",)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        form = super().get_form(request, *args, **kwargs)
        # A class of this request alone: a form is not handed the request.
        return type(form.__name__, (form,), {"actor": request.user})

    def get_changeform_initial_data(self, request: HttpRequest) -> Any:
        return {"user": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if change:
            obj.save()
            return
        text = api_key_create(row=obj, actor=request.user)
        messages.warning(request, f"Copy the API key now, it is not shown again: {text}")


@admin.register(AccessChange)
class AccessChangeAdmin(ModelAdmin):
    """The record of changes, read only."""

    list_display = ("at", "actor", "what")
    search_fields = ("actor", "what")
    search_help_text = "Part of an operator's name, or of what was done."
    date_hierarchy = "at"
    show_full_result_count = False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


admin.site.unregister([get_user_model(), Group])
admin.site.register(get_user_model(), EntitledUserAdmin)
admin.site.register(Group, EntitledGroupAdmin)
