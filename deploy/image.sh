#!/bin/sh
# The steps of deploy/Dockerfile, in the root of the source. e2e/deploy/test_image.py takes the same ones where there is
# no engine, so what the Dockerfile claims of its image is tried.
#
#   image.sh dependencies   compiles what Cargo.lock names, with nothing of our own: a layer that lasts
#   image.sh binary         compiles the binary
#   image.sh sbom FILE      writes what went into it, as CycloneDX
#   image.sh root FOLDER    lays the whole file system of the image in a new folder
set -eu

# Static: the image has no loader and no library that could be older than what the binary was linked against.
export RUSTFLAGS='-C target-feature=+crt-static'
TARGET=$(rustc --print host-tuple)
# The user that every distroless image calls nonroot.
readonly ID=65532

build() { SOURCE_COMMIT=${REVISION:-} cargo build --locked --profile dist --target "$TARGET" --bin mandate; }

case $1 in
dependencies)
    mkdir -p src
    echo 'fn main() {}' >src/main.rs
    : >src/lib.rs
    build
    rm -r src
    ;;
binary)
    # Cargo compares times, and those of the sources are older than those of the empty files before.
    touch src/lib.rs src/main.rs
    build
    ;;
sbom)
    # Without a time and a random number in it: the same sources give the same file.
    SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-0} cargo cyclonedx --format json --target "$TARGET" \
        --describe binaries --spec-version 1.5
    # Wherever it was made it names the same place.
    sed "s|$PWD|/build|g" mandate_bin.cdx.json >"$2"
    rm mandate_bin.cdx.json
    ;;
root)
    install -D -m 0755 "${CARGO_TARGET_DIR:-target}/$TARGET/dist/mandate" "$2/usr/bin/mandate"
    # Here rustls looks for the certificates that it trusts.
    install -D -m 0644 /etc/ssl/certs/ca-certificates.crt "$2/etc/ssl/certs/ca-certificates.crt"
    echo "nonroot:x:$ID:$ID:nonroot:/var/lib/mandate:/sbin/nologin" >"$2/etc/passwd"
    echo "nonroot:x:$ID:" >"$2/etc/group"
    # Without it the C library asks the name server first, and takes its no for an answer.
    echo "hosts: files dns" >"$2/etc/nsswitch.conf"
    chmod 0644 "$2/etc/passwd" "$2/etc/group" "$2/etc/nsswitch.conf"
    # All that may be written: a volume here takes its owner from this folder.
    install -d -m 0755 "$2/var/lib"
    install -d -m 0700 -o "$ID" -g "$ID" "$2/var/lib/mandate"
    ;;
*)
    echo "image.sh dependencies | binary | sbom FILE | root FOLDER" >&2
    exit 2
    ;;
esac
