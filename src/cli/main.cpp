// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "src/cli/command.h"
#include "vene/base/error.h"
#include "vene/base/version.h"

namespace {

std::string version_text() {
  const vene::BuildInfo build = vene::build_info();
  return "vene " + build.version + "\nLibTorch " + build.libtorch_version + ", CUDA " + build.cuda + (build.cuda_linked ? " (linked)" : " (not linked)") +
         ", C++11 ABI " + (build.cxx11_abi ? "1" : "0");
}

// One line, whatever the message.
void complain(const std::string& message) {
  std::fprintf(stderr, "vene: %s\n", message.c_str());
}

}  // namespace

int main(int count, char** arguments) {
  constexpr int kFailed = 1;
  constexpr int kUsage = 2;
  CLI::App app{"Look inside neural networks and change what they compute."};
  app.name("vene");
  app.set_version_flag("--version", version_text());
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer("Example: vene trace -m assets/landmarks-gpt2 -p 'The Space Needle is in downtown' --subject 'The Space Needle' -o out\n"
             "Each command explains itself: vene trace -h");
  vene::cli::add_info(app);
  vene::cli::add_sites(app);
  vene::cli::add_schema(app);
  vene::cli::add_tokenize(app);
  vene::cli::add_run(app);
  vene::cli::add_trace(app);
  vene::cli::add_verify(app);
  try {
    app.parse(count, arguments);
    // Output that could not be written is a failure, also when it went to a full disk behind a redirect.
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0) {
      complain("standard output: cannot be written");
      return kFailed;
    }
    return 0;
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::CallForVersion& version) {
    std::printf("%s\n", version_text().c_str());
    return 0;
  } catch (const CLI::Success&) {
    return 0;
  } catch (const CLI::ParseError& error) {
    const CLI::App* at = &app;
    for (const CLI::App* sub : app.get_subcommands()) at = sub;
    complain(std::string(error.what()) + " (see " + (at == &app ? std::string("vene -h") : "vene " + at->get_name() + " -h") + ")");
    return kUsage;
  } catch (const vene::Error& error) {
    complain(error.what());
    return kFailed;
  } catch (const c10::Error& error) {
    complain(error.what_without_backtrace());
    return kFailed;
  } catch (const std::bad_alloc&) {
    complain("out of memory");
    return kFailed;
  } catch (const std::exception& error) {
    complain(error.what());
    return kFailed;
  }
}
