// SPDX-License-Identifier: Apache-2.0
#pragma once
#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

#include "vene/models/load.h"

namespace vene::detail {

/// The texts of a file, one after the other, as token ids: a text a line, or of a .jsonl an object a line with "text"
/// or "ids". What is held is one line. Lines without anything are left out.
class TextData {
 public:
  /// IoError where the file cannot be read. `max_tokens`: what comes after so many is cut off; 0: nothing is.
  TextData(const models::LanguageModel& lm, std::string path, std::int64_t max_tokens);

  /// The next text's ids; false at the end. ConfigError or ModelError with file and line for one that the model cannot
  /// read.
  bool next(std::vector<std::int64_t>& ids);
  /// "texts.jsonl line 7": the text that came last.
  std::string where() const;

  /// Where the next text is looked for, to come back to.
  struct Place {
    std::int64_t offset = 0, line = 0;
  };
  const Place& place() const { return place_; }
  void go_to(const Place& place);

 private:
  std::vector<std::int64_t> read(const std::string& line) const;

  const models::LanguageModel& lm_;
  std::string path_;
  std::int64_t max_tokens_;
  bool json_;
  std::ifstream file_;
  Place place_;
};

}  // namespace vene::detail
