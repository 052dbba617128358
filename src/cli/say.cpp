// SPDX-License-Identifier: Apache-2.0
#include "src/cli/say.h"

#include <cstdio>
#include <nlohmann/json.hpp>

namespace vene::cli {

Loudness& loudness() {
  static Loudness of_this_run;
  return of_this_run;
}

void note(const std::string& text) {
  if (!loudness().quiet) std::fprintf(stderr, "vene: %s\n", text.c_str());
}

void detail(const std::string& text) {
  if (loudness().verbose) std::fprintf(stderr, "vene: %s\n", text.c_str());
}

int complain(const std::string& error_class, const std::string& message, int status) {
  std::string text;
  if (loudness().json_errors) {
    nlohmann::ordered_json object;
    object["error"] = {{"class", error_class}, {"message", message}};
    text = object.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
  } else {
    text = "vene: ";
    for (const char c : message) text += c == '\n' ? std::string("\nvene: ") : std::string(1, c);
  }
  std::fprintf(stderr, "%s\n", text.c_str());
  return status;
}

void Timed::done() const {
  char text[32];
  std::snprintf(text, sizeof text, " in %.2f s",
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count());
  detail(what_ + text);
}

}  // namespace vene::cli
