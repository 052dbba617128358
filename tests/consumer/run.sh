#!/usr/bin/env bash
# Installs the build into a temporary prefix and builds a program against it: with find_package and with pkg-config, and
# configures it with add_subdirectory (building the library a second time would prove nothing more).
# Usage: run.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_folder=$1 build_folder=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build_folder" --prefix "$work/prefix" > "$work/log" || { cat "$work/log"; exit 1; }

cmake -S "$source_folder/tests/consumer/find_package" -B "$work/find" -DCMAKE_BUILD_TYPE=Release -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/log" || { cat "$work/log"; exit 1; }
cmake --build "$work/find" > "$work/log" || { cat "$work/log"; exit 1; }
[ "$("$work/find/consumer")" = "consumer works" ]
echo "find_package: works"

libdir=$(dirname "$(find "$work/prefix" -name vene.pc)")
export PKG_CONFIG_PATH=$libdir
${CXX:-c++} "$source_folder/tests/consumer/main.cpp" $(pkg-config --cflags --libs vene) -o "$work/consumer"
[ "$("$work/consumer")" = "consumer works" ]
echo "pkg-config: works"

cmake -S "$source_folder/tests/consumer/add_subdirectory" -B "$work/sub" -DVENE_SOURCE="$source_folder" > "$work/log" || { cat "$work/log"; exit 1; }
echo "add_subdirectory: configures"
