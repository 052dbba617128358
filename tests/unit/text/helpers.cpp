// SPDX-License-Identifier: Apache-2.0
#include "helpers.h"

#include "tests/places.h"

namespace vene_test {

namespace fs = std::filesystem;

TokenizerFolder& TokenizerFolder::write(const std::string& name, const std::string& bytes) {
  folder_.write(name, bytes);
  return *this;
}
TokenizerFolder& TokenizerFolder::link(const std::string& name, const fs::path& to) {
  fs::create_symlink(fs::absolute(to), folder_ / name);
  return *this;
}
std::string TokenizerFolder::error() const {
  try {
    load();
  } catch (const vene::IoError& error) {
    const std::string what = error.what();
    EXPECT_EQ(what.find('\n'), std::string::npos) << what;
    return what;
  }
  ADD_FAILURE() << "expected an IoError";
  return {};
}

std::string utf8(char32_t code) {
  std::string text;
  const auto put = [&](char32_t byte) { text += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 63));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 63));
    put(0x80 | (code & 63));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 63));
    put(0x80 | (code >> 6 & 63));
    put(0x80 | (code & 63));
  }
  return text;
}

std::string random_text(std::mt19937_64& random, std::size_t most) {
  constexpr std::pair<char32_t, char32_t> kRanges[] = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x20, 0x20},       {0x00, 0x1F},       {0xA0, 0x24F},
      {0x300, 0x36F},   {0x370, 0x5FF},   {0x900, 0x97F},     {0x2000, 0x206F},   {0x4E00, 0x9FFF},
      {0xAC00, 0xD7A3}, {0xE000, 0xFFFD}, {0x1F000, 0x1FAFF}, {0x20000, 0x10FFFF}};
  std::string text;
  for (std::size_t count = random() % (most + 1); count > 0; --count) {
    const auto [first, last] = kRanges[random() % std::size(kRanges)];
    text += utf8(first + static_cast<char32_t>(random() % (last - first + 1)));
  }
  return text;
}

void expect_places(const std::vector<vene::text::Token>& tokens, const std::string& text) {
  std::int64_t last = 0;
  for (const vene::text::Token& token : tokens) {
    EXPECT_GE(token.begin, last);
    EXPECT_LE(token.begin, token.end);
    last = token.end;
  }
  EXPECT_LE(last, static_cast<std::int64_t>(text.size()));
}

std::string asset_folder() {
  return (fs::path(vene_test::kSourceFolder) / "assets" / "landmarks-gpt2").string();
}
std::string golden_folder(const std::string& name) {
  return (fs::path(vene_test::kSourceFolder) / "tests" / "golden" / "text" / name).string();
}

}  // namespace vene_test
