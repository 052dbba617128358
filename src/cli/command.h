// SPDX-License-Identifier: Apache-2.0
// What the subcommands of `vene` share.
#pragma once
#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "vene/models/load.h"

namespace vene::cli {

/// A command line that is wrong in a way that CLI11 does not see: exit status 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What `vene --version` prints.
std::string version_text();
/// "unknown command 'trce'; did you mean 'trace'?"
std::string unknown_command(const CLI::App& app, const std::string& name);

/// Which model, and how it runs. Filled from -m, --device, --dtype, --ignore-extra, --threads.
struct ModelChoice {
  std::string folder;
  std::string device = "cpu";
  std::string dtype;
  bool tf32 = false;
  bool ignore_extra = false;
  int threads = 0;

  /// Adds the options to a subcommand; the folder as -m, or as its first argument.
  void add_to(CLI::App& command, bool positional = false);
  /// Loads the model; warnings go to stderr. Throws Stopped where a signal came meanwhile.
  models::LanguageModel load() const;
  void apply_threads() const;
};

/// Progress of a long job: a bar with the time left on stderr, and only where that is a terminal, and not with --quiet.
class Progress {
 public:
  explicit Progress(std::string what);
  ~Progress();
  /// For SweepOptions::progress and the like: false once a signal asked to stop.
  bool operator()(std::size_t done, std::size_t all, std::string_view note = {});
  /// Takes the bar away; so does the end of the object.
  void clear();

 private:
  std::string what_;
  bool terminal_;
  double started_;
  double shown_ = 0;
  bool drawn_ = false;
};

/// IoError where there is no such folder; for one with a name as models of the Hugging Face hub have it ("gpt2",
/// "openai-community/gpt2"), with the command that makes it.
void check_model_folder(const std::string& folder);

/// The flag that passes over tensors which a model has no place for.
void add_ignore_extra(CLI::App& command, bool& ignore_extra);

/// What an option says that takes a file, or - for standard input.
std::string read_input(const std::string& path);

/// What is wrong with a number that is to be more than 0, or an integer from 0 on; empty where nothing is. For
/// CLI::Option::check.
std::string not_positive(const std::string& text);
std::string not_a_count(const std::string& text);

/// Token ids of an option: "3, 14, 15" or "3 14 15". UsageError, beginning with the option, for anything else.
std::vector<std::int64_t> token_ids(const std::string& option, const std::string& text);

// Each adds one subcommand; its work runs in the callback.
void add_info(CLI::App& app);
void add_sites(CLI::App& app);
void add_schema(CLI::App& app);
void add_tokenize(CLI::App& app);
void add_run(CLI::App& app);
void add_sweep(CLI::App& app);
void add_trace(CLI::App& app);
void add_patch(CLI::App& app);
void add_ablate(CLI::App& app);
void add_train(CLI::App& app);
void add_locate(CLI::App& app);
void add_collect(CLI::App& app);
void add_generate(CLI::App& app);
void add_steer_vector(CLI::App& app);
void add_verify(CLI::App& app);
void add_inspect(CLI::App& app);
void add_push(CLI::App& app);
void add_pull(CLI::App& app);
void add_completion(CLI::App& app);
void add_man(CLI::App& app);
void add_help(CLI::App& app);
void add_version(CLI::App& app);

}  // namespace vene::cli
