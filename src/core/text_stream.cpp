// SPDX-License-Identifier: Apache-2.0
#include "src/core/text_stream.h"

#include <algorithm>

namespace vene::detail {
namespace {

// Enough tokens in front that the next one is decoded as inside a text: with its space, and no half character before
// it.
constexpr std::size_t kContext = 6;

}  // namespace

TextStream::TextStream(const text::Tokenizer* tokenizer, const std::vector<std::string>* stop_texts,
                       const std::vector<std::int64_t>& prompt)
    : tokenizer_(tokenizer), stop_texts_(stop_texts) {
  window_.assign(prompt.end() - static_cast<std::ptrdiff_t>(std::min(prompt.size(), kContext)), prompt.end());
  read_ = window_.size();
}

bool TextStream::extend(bool whole_characters) {
  const std::string before =
      tokenizer_->decode({window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(read_)});
  const std::string all = tokenizer_->decode(window_);
  if (whole_characters && all.ends_with("\xEF\xBF\xBD"))
    return false;  // U+FFFD: a character whose other bytes are to come
  std::size_t known = before.size();
  if (!all.starts_with(before)) {  // a character that was begun before the first new token
    known = static_cast<std::size_t>(std::mismatch(before.begin(), before.end(), all.begin(), all.end()).first -
                                     before.begin());
  }
  text_ += all.substr(known);
  if (read_ > kContext) window_.erase(window_.begin(), window_.begin() + static_cast<std::ptrdiff_t>(read_ - kContext));
  read_ = window_.size();
  return true;
}

bool TextStream::add(std::int64_t id) {
  if (tokenizer_ == nullptr) return false;
  window_.push_back(id);
  const std::size_t old = text_.size();
  if (!extend(true)) return false;
  std::size_t stop = std::string::npos;
  for (const std::string& text : *stop_texts_)
    stop = std::min(stop, text_.find(text, old >= text.size() ? old - text.size() + 1 : 0));
  if (stop != std::string::npos) {
    text_.resize(stop);
    certain_ = stop;
    return true;
  }
  certain_ = text_.size();
  for (const std::string& text : *stop_texts_) {
    for (std::size_t begin = text_.size() - std::min(text_.size(), text.size() - 1); begin < certain_; ++begin) {
      if (text.starts_with(std::string_view(text_).substr(begin))) certain_ = begin;
    }
  }
  return false;
}

void TextStream::finish() {
  if (tokenizer_ == nullptr) return;
  if (read_ < window_.size()) extend(false);
  certain_ = text_.size();
}

std::string TextStream::take() {
  if (certain_ <= taken_) return {};
  std::string piece = text_.substr(taken_, certain_ - taken_);
  taken_ = certain_;
  return piece;
}

}  // namespace vene::detail
