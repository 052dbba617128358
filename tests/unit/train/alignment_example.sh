#!/usr/bin/env bash
# An alignment example reaches what it is meant to show: LEAST_ACCURACY of the network, LEAST_IIA of the alignment, and more than before it.
set -euo pipefail
output=$("$1")
echo "$output"
awk -v accuracy="$LEAST_ACCURACY" -v iia="$LEAST_IIA" '/^network:/ { if ($4 < accuracy) bad = 1; seen++ } /^before alignment:/ { before = $5; seen++ }
  /^after alignment:/ { if ($5 < iia || $5 <= before) bad = 1; seen++ } END { exit bad || seen != 3 }' <<< "$output"
