// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <cstdio>

#include "src/cli/command.h"
#include "src/cli/print.h"
#include "vene/base/error.h"
#include "vene/base/names.h"
#include "vene/base/version.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;

std::string version_text() {
  const vene::BuildInfo build = vene::build_info();
  return "vene " + build.version + "\nLibTorch " + build.libtorch_version + ", CUDA " + build.cuda +
         (build.cuda_linked ? " (linked)" : " (not linked)") + ", C++11 ABI " + (build.cxx11_abi ? "1" : "0");
}

// A line a problem; where there are several, each is a line of its own.
int complain(const std::string& message, int status) {
  std::string text = "vene: ";
  for (char c : message) text += c == '\n' ? std::string("\nvene: ") : std::string(1, c);
  std::fprintf(stderr, "%s\n", text.c_str());
  return status;
}

// Output that could not be written is a failure, also when it went to a full disk behind a redirect.
int finish() {
  return vene::cli::say("") ? 0 : complain("standard output: cannot be written", kFailed);
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
  if (!rest.empty() && &at == &app) {
    for (const CLI::App* sub : app.get_subcommands([](const CLI::App*) { return true; }))
      names.push_back(sub->get_name());
    return "unknown command '" + rest[0] + "'" + vene::name_hint(rest[0], names);
  }
  return error.what();
}

int usage(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  for (const CLI::App* sub : app.get_subcommands()) at = sub;
  return complain(usage_problem(app, *at, error) + " (see " +
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
  app.set_version_flag("--version", version_text());
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
  vene::cli::add_train(app);
  vene::cli::add_locate(app);
  vene::cli::add_generate(app);
  vene::cli::add_steer_vector(app);
  vene::cli::add_verify(app);
  vene::cli::add_inspect(app);
  vene::cli::add_push(app);
  vene::cli::add_pull(app);
  vene::cli::add_completion(app);
  vene::cli::add_man(app);
  try {
    app.parse(count, arguments);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
  } catch (const CLI::CallForVersion&) {
    std::printf("%s\n", version_text().c_str());
  } catch (const CLI::ParseError& error) {
    return usage(app, error);
  } catch (const vene::Error& error) {
    return complain(error.what(), kFailed);
  } catch (const std::exception& error) {
    return complain(vene::cli::sentence_of(error), kFailed);
  }
  return finish();
}
