from django.urls import path

from quotes.screens.documents.views import decisions, find, image, index, page

urlpatterns = [
    path("", index, name="documents"),
    path("search/", find, name="documents-search"),
    path("images/<str:name>", image),
    path("decisions/", decisions),
    path("<path:slug>/", page, name="document"),
]
