"""The addresses of the watch lists, below /api/."""

from django.urls import path

from quotes.screens.rest.watch_lists import WatchListsView, WatchListView

urlpatterns = [
    path("watch-lists/", WatchListsView.as_view(), name="watch-lists"),
    path("watch-lists/<int:pk>/", WatchListView.as_view(), name="watch-list"),
]
