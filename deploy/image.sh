#!/bin/sh
# Builds the image of deploy/Dockerfile without a registry of images: its base is made of Debian's packages, from the
# sources of apt on this machine. Needs Debian (or a container of it), root, and: apt-get install buildah mmdebstrap
#   deploy/image.sh [NAME [options of buildah build]]
#   deploy/image.sh understudy --build-arg EXTRAS=openai
# The base is kept as NAME-python. Variables of buildah (BUILDAH_ISOLATION, STORAGE_DRIVER) work.
set -eu
cd "$(dirname "$0")/.."
name=${1:-understudy}
[ "$#" -eq 0 ] || shift
for tool in buildah mmdebstrap; do
  command -v "$tool" >/dev/null || { echo "$0 needs $tool: apt-get install $tool" >&2; exit 1; }
done
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
sources=$(find /etc/apt -name '*.sources' -o -name '*.list')
scratch=$(mktemp -d)
container=
trap '[ -z "$container" ] || buildah rm "$container" >/dev/null; rm -rf "$scratch"' EXIT

# Licences stay, manuals and translations do not.
# shellcheck disable=SC2086 # several sources
mmdebstrap --quiet --variant=minbase --include=ca-certificates,python-is-python3,python3,python3-venv \
  --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
  "$suite" "$scratch/base.tar" $sources
container=$(buildah from scratch)
buildah add --quiet "$container" "$scratch/base.tar" / >/dev/null
buildah config --env PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin --env LANG=C.UTF-8 --cmd python3 "$container"
buildah commit --quiet --format docker "$container" "localhost/$name-python" >/dev/null

# The format of Docker, as that of OCI has no health check.
buildah build --format docker --build-arg "PYTHON=localhost/$name-python" "$@" --file deploy/Dockerfile --tag "$name" .
