"""The HTTP door of the product: sessions, threads, files, agents, operations, and the page itself."""

from understudy.rest.application import build as build
from understudy.rest.parts import Rest as Rest
