"""Machine-readable references, made from the vocabulary itself: AsyncAPI for the sockets, OpenAPI for HTTP."""

from understudy.specs.asyncapi import asyncapi as asyncapi
from understudy.specs.openapi import openapi as openapi
