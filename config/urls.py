from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

from config import doors
from quotes.rest.health import healthz, readyz
from quotes.rest.upgrade import upgrade_required

urlpatterns = [
    path("live-price", upgrade_required),
    path("admin/", admin.site.urls),
    # Before the instruments, whose keys may hold slashes.
    path("api/", include("quotes.history.rest.urls")),
    path("api/", include("instruments.urls")),
    path("api/", include("quotes.rest.urls")),
    path("api/", include("quotes.access.rest.urls")),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("api/docs/", SpectacularSwaggerView.as_view(url_name="schema"), name="docs"),
    path("healthz", healthz),
    path("readyz", readyz),
    *doors.urlpatterns(),
]
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
