#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What public headers declare and the libraries hide: such a thing links statically and fails in a shared build.

    exports.py INCLUDE_DIR LIBRARY.a ...

Symbols that the archives define as hidden are compared with the classes that headers define and the functions that they
declare. Ends with 1 and a line for each that needs VENE_API.
"""
import pathlib
import re
import subprocess
import sys


def declared(folder):
    """The qualified names of the classes that the headers define, and of the functions that they declare."""
    classes, functions = set(), set()
    for header in sorted(pathlib.Path(folder).rglob("*.h")):
        text = re.sub(r"//[^\n]*|/\*.*?\*/", "", header.read_text(), flags=re.S)
        space, depth, scopes = [], 0, []  # scopes: (depth it was opened at, its name or None)
        for piece in re.finditer(r'"(?:\\.|[^"\\])*"|[{};]|[^{};"]+', text):
            token = piece.group()
            if token == "{":
                namespace = re.search(r"\bnamespace\s+([\w:]+)\s*$", last)
                kind = re.search(r"\b(?:struct|class)\s+(?:VENE_API\s+)?(\w+)\s*(?:final\s*)?(?::[^:].*)?$", last, re.S)
                name = None
                if namespace:
                    name = namespace.group(1)
                elif kind and "enum" not in last and "template" not in last:
                    name = kind.group(1)
                    classes.add("::".join(space + [name]))
                scopes.append((depth, name, namespace is not None))
                space += [name] if name else []
                depth += 1
                last = ""
            elif token == "}":
                if scopes:
                    _, name, _ = scopes.pop()
                    if name:
                        space.pop()
                depth -= 1
                last = ""
            elif token == ";":
                at_namespace = all(is_namespace for _, _, is_namespace in scopes)
                found = re.match(r"\s*(?:[\w:<>,&*\s\[\]\"()]*?)\b(\w+)\s*\(", last)
                if at_namespace and found and not re.search(r"\b(template|using|static_assert|friend|inline|operator)\b", last):
                    functions.add("::".join(space + [found.group(1)]))
                last = ""
            else:
                last = token if not token.isspace() else ""
        assert depth == 0, header
    return classes, functions


def hidden(library):
    """The demangled names of the functions that an archive defines and hides; those that every user compiles are weak."""
    table = subprocess.run(["readelf", "-sW", library], check=True, capture_output=True, text=True).stdout
    names = set()
    for line in table.splitlines():
        fields = line.split()
        if len(fields) >= 8 and fields[3] == "FUNC" and fields[4] == "GLOBAL" and fields[5] == "HIDDEN" and fields[6] != "UND":
            names.add(fields[7])
    plain = subprocess.run(["c++filt"], input="\n".join(sorted(names)), check=True, capture_output=True, text=True).stdout
    return plain.splitlines()


def qualified(symbol):
    """vene::models::load(std::string const&) -> vene::models::load; a template's instance has no name here."""
    name = re.split(r"\((?!anonymous)", symbol.replace("operator()", "operator[]"))[0].replace("[abi:cxx11]", "")
    return "" if "<" in name or "anonymous" in name or " " in name else name


def main():
    classes, functions = declared(sys.argv[1])
    if len(classes) < 50 or len(functions) < 50:
        sys.exit(f"exports.py: read only {len(classes)} classes and {len(functions)} functions from {sys.argv[1]}")
    seen, problems = 0, []
    for library in sys.argv[2:]:
        for symbol in hidden(library):
            name = qualified(symbol)
            seen += 1
            if name in functions or name.rpartition("::")[0] in classes:
                problems.append(f"{symbol}: public, and hidden for want of VENE_API")
    if seen == 0:
        sys.exit("exports.py: the archives hide nothing at all: are they vene's?")
    print("\n".join(problems) if problems else f"exports: {len(classes)} classes and {len(functions)} functions, none hidden")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
