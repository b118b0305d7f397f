"""What a user has here, taken out whole: as JSON, in one form with a version, or as Markdown to be read."""

from understudy.export.exporter import Exporter as Exporter
from understudy.export.exporter import What as What
