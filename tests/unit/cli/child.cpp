// SPDX-License-Identifier: Apache-2.0
#include "unit/cli/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/places.h"

namespace vene_test {

namespace fs = std::filesystem;

std::string program_path(const std::string& name) {
  return std::string(vene_test::kBinaryFolder) + "/bin/" + name;
}
std::string source_path(const std::string& name) {
  return std::string(vene_test::kSourceFolder) + "/" + name;
}

const std::string& bundled_model() {
  static const std::string kFolder = source_path("assets/landmarks-gpt2");
  return kFolder;
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.good()) << path;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary);
  file << text;
  if (!file.flush()) throw std::runtime_error(path + ": cannot be written");
}

std::vector<std::string> names_below(const std::string& folder) {
  std::vector<std::string> names;
  if (!fs::is_directory(folder)) return names;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    names.push_back(fs::relative(entry.path(), folder).string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

Outcome run_program(const std::string& program, const std::vector<std::string>& arguments,
                    const Surroundings& surroundings) {
  const TestFolder caught;
  const std::string out = surroundings.standard_output.empty() ? caught / "out" : surroundings.standard_output,
                    err = caught / "err";
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string folder = surroundings.folder.empty() ? vene_test::kSourceFolder : surroundings.folder;
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("cannot start a process");
  if (child == 0) {
    if (chdir(folder.c_str()) != 0 || std::freopen(out.c_str(), "w", stdout) == nullptr ||
        std::freopen(err.c_str(), "w", stderr) == nullptr || std::freopen("/dev/null", "r", stdin) == nullptr) {
      _exit(126);
    }
    // The caller's own settings would decide what is tested.
    for (const char* name : {"VENE_MODEL", "VENE_DEVICE", "VENE_THREADS", "NO_COLOR", "COLORTERM", "COLUMNS"})
      unsetenv(name);
    setenv("OMP_NUM_THREADS", "1", 1);
    for (const auto& [name, value] : surroundings.environment)
      value ? setenv(name.c_str(), value->c_str(), 1) : unsetenv(name.c_str());
    if (surroundings.largest_file) {
      const rlimit limit{*surroundings.largest_file, *surroundings.largest_file};
      setrlimit(RLIMIT_FSIZE, &limit);
    }
    execv(program.c_str(), argv.data());
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return {code, surroundings.standard_output.empty() ? read_text(out) : "", read_text(err)};
}

Outcome vene_command(const std::vector<std::string>& arguments, const Surroundings& surroundings) {
  return run_program(program_path("vene"), arguments, surroundings);
}

Outcome shell(const std::string& line, const Surroundings& surroundings) {
  Surroundings with_path = surroundings;
  const char* path = std::getenv("PATH");
  with_path.environment["PATH"] = std::string(vene_test::kBinaryFolder) + "/bin:" + (path == nullptr ? "" : path);
  return run_program("/bin/sh", {"-c", line}, with_path);
}

}  // namespace vene_test
