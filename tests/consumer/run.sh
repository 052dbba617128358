#!/usr/bin/env bash
# vene as others meet it: installed, moved, started; linked through find_package (a Debug program on whatever was built) and
# pkg-config; configured through add_subdirectory and FetchContent (building the library a second time would prove nothing more).
# Usage: run.sh SOURCE_DIR BUILD_DIR
set -euo pipefail
source_folder=$1 build_folder=$2
here=$source_folder/tests/consumer
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "$*" >&2; exit 1; }
quietly() { "$@" > "$work/log" 2>&1 || { cat "$work/log"; exit 1; }; }
has() { [ "$(sed -n "s/^$1:[^=]*=//p" "$build_folder/CMakeCache.txt")" = ON ]; }

# --- installed, and in another place than it was installed to -------------------------------------
quietly cmake --install "$build_folder" --prefix "$work/first"
mv "$work/first" "$work/prefix"
prefix=$work/prefix
if has VENE_INSTALL_LIBTORCH; then
  ! grep -rlF -e "$source_folder" -e "$build_folder" -e "$work/first" "$prefix" --include='*.cmake' --include='*.pc' || fail "an installed file points into the checkout"
fi
if has VENE_BUILD_CLI; then
  version=$(env -i "$prefix/bin/vene" --version)
  case $version in "vene "*) ;; *) fail "the installed command says: $version" ;; esac
  if has VENE_INSTALL_LIBTORCH; then
    ! ldd "$prefix/bin/vene" | grep -F -e "$source_folder" -e "$build_folder" || fail "the installed command loads from the checkout"
    ! readelf -d "$prefix/bin/vene" | grep -F -e "$source_folder" -e "$build_folder" || fail "the installed command looks into the checkout"
  fi
  [ -s "$prefix/share/man/man1/vene.1" ] || fail "no manual page"
  for page in bash-completion/completions/vene zsh/site-functions/_vene fish/vendor_completions.d/vene.fish; do
    [ -s "$prefix/share/$page" ] || fail "no share/$page"
  done
  echo "command: starts"
fi

# --- every public symbol is there --------------------------------------------------------------------
archives=("$prefix"/lib*/libvene*.a)
if [ -e "${archives[0]}" ]; then python3 "$here/exports.py" "$prefix/include" "${archives[@]}"; fi

# --- find_package ----------------------------------------------------------------------------------------
find_package() { cmake -S "$here/find_package" -B "$work/$1" -DCMAKE_BUILD_TYPE=Debug -DCMAKE_PREFIX_PATH="$prefix" "${@:2}"; }
quietly find_package found
quietly cmake --build "$work/found"
[ "$("$work/found/consumer")" = "consumer works" ]
! find_package other -DCOMPONENTS=nonsense > "$work/log" 2>&1 || fail "find_package takes any component"
grep -q "vene has no component 'nonsense': its components are models and vene" "$work/log" || { cat "$work/log"; fail "the reason is missing"; }
echo "find_package: works"

# --- pkg-config --------------------------------------------------------------------------------------------
libdir=$(dirname "$(find "$prefix" -name vene.pc)")
export PKG_CONFIG_PATH=$libdir
# shellcheck disable=SC2046 # the flags are words
${CXX:-c++} -Wall -Wextra -Werror "$here/main.cpp" $(pkg-config --cflags --libs vene) -o "$work/consumer"
[ "$("$work/consumer")" = "consumer works" ]
echo "pkg-config: works"

# --- from source --------------------------------------------------------------------------------------------
# Neither may bring its tests, its command or its installation into a project that only wants the library.
for way in add_subdirectory fetch_content; do
  quietly cmake -S "$here/$way" -B "$work/$way" -DVENE_SOURCE="$source_folder" -DFETCHCONTENT_SOURCE_DIR_VENE="$source_folder" -DFETCHCONTENT_FULLY_DISCONNECTED=ON
  ! cmake --build "$work/$way" --target help | grep -E "vene_cli|base_test" || fail "$way: builds more than the library"
  quietly cmake --install "$work/$way" --prefix "$work/from-$way" --component dev
  ! [ -e "$work/from-$way/include/vene" ] || fail "$way: installs vene with the program"
  echo "$way: configures"
done
