// SPDX-License-Identifier: Apache-2.0
// What the command tells people on standard error, and how much of it.
#pragma once
#include <chrono>
#include <string>

namespace vene::cli {

struct Loudness {
  bool quiet = false;        ///< errors only
  bool verbose = false;      ///< also what is loaded, and how long things take
  bool json_errors = false;  ///< errors as {"error": {"class": ..., "message": ...}}
};
/// Of this run of the command; set while the command line is read.
Loudness& loudness();

/// "vene: text", unless --quiet.
void note(const std::string& text);
/// "vene: text", with --verbose only.
void detail(const std::string& text);
/// An error: a line a problem, or with --json one object on one line. Returns `status`.
int complain(const std::string& error_class, const std::string& message, int status);

/// With --verbose, says how long something took when it is done.
class Timed {
 public:
  explicit Timed(std::string what) : what_(std::move(what)) {}
  void done() const;

 private:
  std::string what_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

}  // namespace vene::cli
