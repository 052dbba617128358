#!/usr/bin/env bash
# The example reaches what it is meant to show: accuracy >= .99, IIA >= .95.
set -euo pipefail
output=$("$1")
echo "$output"
awk '/^network:/ { if ($4 < 0.99) bad = 1; seen++ } /^after alignment:/ { if ($5 < 0.95) bad = 1; seen++ } END { exit bad || seen != 2 }' <<< "$output"
