#!/usr/bin/env bash
# Builds the binary of the version to upgrade from and says where it is. Says nothing where the history does not go
# back that far.
#
#   e2e/upgrade/previous.sh TARGET
#
# That version is the one before the newest migration was added, or the commit in MANDATE_PREVIOUS.
set -euo pipefail
cd "$(dirname "$0")/../.."
target=$1

skip() {
    printf '\nWARNING: %s: NO UPGRADE IS TESTED\n\n' "$1" >&2
    exit 0
}

commit_of() { git rev-parse --quiet --verify "$1^{commit}"; }

git rev-parse --git-dir >/dev/null 2>&1 || skip 'this is no clone'
if [[ -n ${MANDATE_PREVIOUS:-} ]]; then
    commit=$(commit_of "$MANDATE_PREVIOUS") || skip "there is no commit $MANDATE_PREVIOUS"
else
    newest=$(git log -1 --diff-filter=A --format=%H -- 'migrations/*.sql')
    commit=$(commit_of "${newest:-HEAD}^") || skip 'the history ends at the newest migration (a shallow clone?)'
fi

# A folder of its own for each commit: what Cargo knows of one says nothing of another. The libraries are those of the
# present build; what is made ends up elsewhere, so that the present binary stays what it is.
source=$target/upgrade/$commit
if [[ ! -e $source/.complete ]]; then
    rm -rf "$source"
    mkdir -p "$source"
    git archive "$commit" | tar --extract --directory "$source"
    # Its folder is below that of the present sources, and no part of them.
    grep -q '^\[workspace' "$source/Cargo.toml" || printf '\n[workspace]\n' >>"$source/Cargo.toml"
    touch "$source/.complete"
fi
echo "Building the version to upgrade from: $(git log -1 --format='%h %s' "$commit")" >&2
(cd "$source" && CARGO_BUILD_BUILD_DIR=$target CARGO_TARGET_DIR=$source/out cargo build --locked --bin mandate >&2)
echo "$source/out/debug/mandate"
