// SPDX-License-Identifier: Apache-2.0
#include "src/base/readable.h"

#include <gtest/gtest.h>

#include "vene/base/error.h"

namespace {

using vene::readable;
using vene::shortened;

TEST(ReadableTest, OrdinaryTextStays) {
  for (const char* text : {"", "plain", "two\nlines\tand a tab", "Zürich — 東京 🙂"})
    EXPECT_EQ(readable(text), text);
}

TEST(ReadableTest, NothingSteersATerminal) {
  EXPECT_EQ(readable("a\x1b[31mred"), "a\\x1b[31mred");
  EXPECT_EQ(readable("\r\b\x7f"), "\\x0d\\x08\\x7f");
  EXPECT_EQ(readable("\xc2\x9b"
                     "2J"),
            "\\xc2\\x9b2J");
  EXPECT_EQ(readable("\xe2\x80\xae"
                     "x"),
            "\\xe2\\x80\\xaex");
}

TEST(ReadableTest, BytesThatAreNoTextAreEscaped) {
  EXPECT_EQ(readable("\xff\xc3"), "\\xff\\xc3");
  EXPECT_EQ(readable("\xed\xa0\x80"), "\\xed\\xa0\\x80");
}

TEST(ReadableTest, ALongLineLosesItsMiddle) {
  const std::string text = readable("first\n" + std::string(30000, 'x') + "end");
  EXPECT_EQ(text.size(), 6U + 2000U);
  EXPECT_TRUE(text.ends_with("xend"));
}

TEST(ReadableTest, EveryErrorIsReadable) {
  EXPECT_STREQ(vene::ConfigError("unknown '\x1b]0;title\x07'").what(), "unknown '\\x1b]0;title\\x07'");
}

TEST(ReadableTest, AShortenedTextIsCutBetweenCharacters) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdefg", 6), "abc...");
  EXPECT_EQ(shortened("ab\xc3\xa9"
                      "defgh",
                      6),
            "ab...");
}

}  // namespace
