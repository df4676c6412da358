from django.contrib import admin
from django.urls import include, path

from config import doors
from config.api_documents import SchemaView, SwaggerView, asyncapi, sockets
from quotes.metrics.views import metrics
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
    path("api/schema/", SchemaView.as_view(), name="schema"),
    path("api/docs/", SwaggerView.as_view(), name="docs"),
    path("api/asyncapi.json", asyncapi, name="asyncapi"),
    path("api/sockets/", sockets, name="sockets"),
    path("healthz", healthz),
    path("readyz", readyz),
    path("metrics", metrics),
    *doors.urlpatterns(),
]
handler400 = "config.errors.bad_request"
handler404 = "config.errors.not_found"
handler500 = "config.errors.server_error"
