// SPDX-License-Identifier: Apache-2.0
// Runs programs of the build as a user would: arguments in; exit status, standard output and standard error out.
#pragma once
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "test_folder.h"

namespace vene_test {

struct Outcome {
  int status = 0;  ///< exit status; 128 + the signal that ended it
  std::string out, err;
};

struct Surroundings {
  std::string folder;                                             ///< working folder; empty: the source tree
  std::map<std::string, std::optional<std::string>> environment;  ///< set, or taken away where empty
  std::optional<std::size_t> largest_file;                        ///< bytes a file may have
  std::string standard_output;                                    ///< a file to write to instead of catching it
};

Outcome run_program(const std::string& program, const std::vector<std::string>& arguments,
                    const Surroundings& surroundings = {});
/// The vene command of this build.
Outcome vene_command(const std::vector<std::string>& arguments, const Surroundings& surroundings = {});
/// A shell line, with the build's programs first on the PATH.
Outcome shell(const std::string& line, const Surroundings& surroundings = {});

std::string program_path(const std::string& name);
std::string source_path(const std::string& name);
const std::string& bundled_model();

std::string read_text(const std::string& path);
void write_text(const std::string& path, const std::string& text);
/// Names below a folder, in order, hidden ones included; none where there is no folder.
std::vector<std::string> names_below(const std::string& folder);
std::vector<std::string> lines_of(const std::string& text);

}  // namespace vene_test
