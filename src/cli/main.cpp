// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>
#include <string_view>

#include "src/cli/command.h"
#include "src/cli/print.h"
#include "src/cli/say.h"
#include "src/cli/stop.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

using vene::cli::complain;

// The class that a program may tell apart.
std::string class_of(const vene::Error& error) {
  if (dynamic_cast<const vene::ConfigError*>(&error) != nullptr) return "ConfigError";
  if (dynamic_cast<const vene::LocationError*>(&error) != nullptr) return "LocationError";
  if (dynamic_cast<const vene::ModelError*>(&error) != nullptr) return "ModelError";
  if (dynamic_cast<const vene::IoError*>(&error) != nullptr) return "IoError";
  if (dynamic_cast<const vene::PlanError*>(&error) != nullptr) return "PlanError";
  if (dynamic_cast<const vene::cli::Stopped*>(&error) != nullptr) return "Stopped";
  return "Error";
}

// What every command takes.
void add_loudness(CLI::App& app) {
  for (CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    auto* quiet = command->add_flag("-q,--quiet", vene::cli::loudness().quiet,
                                    "Print errors only, and the data that was asked for");
    command
        ->add_flag("-v,--verbose", vene::cli::loudness().verbose, "Also say what is loaded, and how long things take")
        ->excludes(quiet);
  }
}

// Known before the command line is read, because what is wrong with that is an error too.
bool wants_json(int count, char** arguments) {
  for (int i = 1; i < count && std::string_view(arguments[i]) != "--"; ++i) {
    if (std::string_view(arguments[i]) == "--json") return true;
  }
  return false;
}

// Output that could not be written is a failure, also when it went to a full disk behind a redirect.
int finish() {
  return vene::cli::say("") ? 0 : complain("IoError", "standard output: cannot be written", kFailed);
}

// What a wrong command line says: the first argument that nothing took, with the nearest name, or what else is wrong.
std::string usage_problem(const CLI::App& app, const CLI::App& at, const CLI::ParseError& error) {
  const std::vector<std::string> rest = app.remaining(/*recurse=*/true);
  std::vector<std::string> names;
  if (!rest.empty() && rest[0].starts_with("-")) {
    for (const CLI::Option* option : at.get_options()) {
      for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    }
    return "unknown option '" + rest[0] + "'" + vene::name_hint(rest[0], names);
  }
  if (!rest.empty() && &at == &app) return vene::cli::unknown_command(app, rest[0]);
  return error.what();
}

int usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  for (const CLI::App* sub : app.get_subcommands()) at = sub;
  return complain("UsageError",
                  usage_problem(app, *at, error) + " (see " +
                      (at == &app ? std::string("vene -h") : "vene " + at->get_name() + " -h") + ")",
                  kUsage);
}

}  // namespace

int main(int count, char** arguments) {
  // Both would end the program where a failed write can be told of: a reader that leaves, a file that reaches its
  // limit.
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGXFSZ, SIG_IGN);
  CLI::App app{"Look inside neural networks and change what they compute."};
  app.name("vene");
  app.set_version_flag("-V,--version", vene::cli::version_text());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Example: vene trace -m assets/landmarks-gpt2 -p 'The Space Needle is in downtown' --subject 'The Space Needle' "
      "-o out\n"
      "Each command explains itself: vene trace -h");
  vene::cli::add_info(app);
  vene::cli::add_sites(app);
  vene::cli::add_schema(app);
  vene::cli::add_tokenize(app);
  vene::cli::add_run(app);
  vene::cli::add_trace(app);
  vene::cli::add_patch(app);
  vene::cli::add_ablate(app);
  vene::cli::add_sweep(app);
  vene::cli::add_train(app);
  vene::cli::add_locate(app);
  vene::cli::add_collect(app);
  vene::cli::add_generate(app);
  vene::cli::add_steer_vector(app);
  vene::cli::add_verify(app);
  vene::cli::add_inspect(app);
  vene::cli::add_push(app);
  vene::cli::add_pull(app);
  vene::cli::add_completion(app);
  vene::cli::add_man(app);
  vene::cli::add_help(app);
  vene::cli::add_version(app);
  add_loudness(app);
  vene::cli::loudness().json_errors = wants_json(count, arguments);
  try {
    app.parse(count, arguments);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
  } catch (const CLI::CallForVersion&) {
    std::printf("%s\n", vene::cli::version_text().c_str());
  } catch (const CLI::ParseError& error) {
    return usage(app, error);
  } catch (const vene::cli::UsageError& error) {
    return complain("UsageError", std::string(error.what()) + " (see vene -h)", kUsage);
  } catch (const vene::Error& error) {
    return complain(class_of(error), error.what(), kFailed);
  } catch (const c10::Error& error) {
    return complain("TorchError", vene::cli::sentence_of(error), kFailed);
  } catch (const std::bad_alloc& error) {
    return complain("OutOfMemory", vene::cli::sentence_of(error), kFailed);
  } catch (const std::exception& error) {
    return complain("Error", vene::cli::sentence_of(error), kFailed);
  }
  return finish();
}
