// SPDX-License-Identifier: Apache-2.0
#include "vene/locations/resolve.h"

#include "src/base/readable.h"
#include "vene/base/error.h"
#include "vene/base/names.h"

namespace vene {
namespace {

std::string row_where(const std::string& where, std::size_t row, std::size_t rows) {
  return rows == 1 ? where : where + ", row " + std::to_string(row);
}

void check_rows(std::size_t given, std::int64_t rows, const std::string& where) {
  if (given == 1 || static_cast<std::int64_t>(given) == rows) return;
  throw LocationError(where + ": locations for " + std::to_string(given) + " rows, but the batch has " +
                      std::to_string(rows) + " (give one list for every row, or " + std::to_string(rows) + ")");
}

// Indices of one selector within a text of `length` units, counted from its start.
void append_counted(const Selector& selector, std::int64_t length, const std::string& unit, const std::string& where,
                    std::vector<std::int64_t>& indices) {
  auto in_range = [&](std::int64_t index) {
    const std::int64_t counted = index < 0 ? index + length : index;
    if (counted < 0 || counted >= length) {
      throw LocationError(where + ": " + unit + " " + std::to_string(index) + " is out of range: the row has " +
                          std::to_string(length) + ", 0 to " + std::to_string(length - 1) + " or -1 to -" +
                          std::to_string(length));
    }
    return counted;
  };
  std::int64_t first = 0;
  std::int64_t last = 0;
  switch (selector.kind) {
    case Selector::Kind::kIndex:
      indices.push_back(in_range(selector.begin));
      return;
    case Selector::Kind::kFirst:
      first = 0;
      last = selector.begin;
      break;
    case Selector::Kind::kLast:
      first = length - selector.begin;
      last = length;
      break;
    case Selector::Kind::kAll:
      last = length;
      break;
    case Selector::Kind::kSpan:
      first = selector.begin < 0 ? selector.begin + length : selector.begin;
      last = selector.end < 0 ? selector.end + length : selector.end;
      break;
    case Selector::Kind::kToken:
      throw LocationError(where + ": {\"token\": \"" + selector.text + "\"} names a position of the text, not a " +
                          unit);
  }
  if (first < 0 || last > length || first > last) {
    throw LocationError(where + ": " + unit + "s " + std::to_string(first) + " to " + std::to_string(last) +
                        " (exclusive) do not lie in the row's " + std::to_string(length));
  }
  for (std::int64_t i = first; i < last; ++i) indices.push_back(i);
}

// Columns of the tokens that spell `selector.text` in one row.
void append_token(const Selector& selector, const RowTexts& texts, std::int64_t row, const std::string& where,
                  std::vector<std::int64_t>& columns) {
  if (texts.tokenizer == nullptr || !texts.input_ids.defined()) {
    throw LocationError(where + ": {\"token\": \"" + selector.text +
                        "\"} is looked for in the text of a row, which takes a tokenizer and token ids and is not "
                        "there in a decoding step; give the position as a number");
  }
  const std::int64_t begin = texts.begin[row];
  const std::int64_t length = texts.end[row] - begin;
  const torch::Tensor ids =
      texts.input_ids[row].slice(0, begin, begin + length).to(torch::kCPU, torch::kInt64).contiguous();
  // Matching the tokens' texts, not their ids, finds a word whatever was in front of it when it was encoded.
  std::vector<std::string> pieces;
  for (std::int64_t i = 0; i < length; ++i)
    pieces.push_back(texts.tokenizer->token_text(ids.data_ptr<std::int64_t>()[i]));
  std::vector<std::pair<std::int64_t, std::int64_t>> matches;
  for (std::int64_t start = 0; start < length; ++start) {
    std::string spelled;
    for (std::int64_t end = start; end < length && spelled.size() <= selector.text.size(); ++end) {
      spelled += pieces[end];
      // A word inside a text has its space in its first token; both spellings find it.
      if (spelled == selector.text || spelled == " " + selector.text) {
        matches.emplace_back(start, end + 1);
        break;
      }
    }
  }
  const auto count = static_cast<std::int64_t>(matches.size());
  const std::int64_t chosen = selector.occurrence < 0 ? selector.occurrence + count : selector.occurrence;
  if (chosen < 0 || chosen >= count) {
    std::string shown;
    for (std::int64_t i = 0; i < std::min<std::int64_t>(length, 40); ++i) shown += "'" + pieces[i] + "' ";
    throw LocationError(where + ": token '" + shortened(selector.text) + "' (occurrence " +
                        std::to_string(selector.occurrence) + ") is not in the row, which has " +
                        std::to_string(count) + " of it; its tokens are " + shown + name_hint(selector.text, pieces));
  }
  for (std::int64_t i = matches[chosen].first; i < matches[chosen].second; ++i) columns.push_back(begin + i);
}

}  // namespace

Unit parse_unit(std::string_view name, const std::string& where) {
  if (name == "pos") return Unit::kPos;
  if (name == "h") return Unit::kHead;
  if (name == "h.pos") return Unit::kHeadPos;
  if (name == "t") return Unit::kStep;
  throw ConfigError(where + ": unknown unit '" + std::string(name) + "'" + name_hint(name, {"pos", "h", "h.pos", "t"}));
}

bool RowTexts::padded() const {
  for (std::size_t row = 0; row < begin.size(); ++row) {
    if (begin[row] != 0 || end[row] != positions) return true;
  }
  return false;
}

RowTexts RowTexts::of(const torch::Tensor& primary, const torch::Tensor& attention_mask, const torch::Tensor& input_ids,
                      const text::Tokenizer* tokenizer) {
  RowTexts texts;
  texts.rows = primary.size(0);
  texts.positions = primary.dim() > 1 ? primary.size(1) : 1;
  texts.tokenizer = tokenizer;
  if (input_ids.defined() && tokenizer != nullptr) texts.input_ids = input_ids;
  texts.begin.assign(texts.rows, 0);
  texts.end.assign(texts.rows, texts.positions);
  if (!attention_mask.defined()) return texts;
  const torch::Tensor mask = attention_mask.to(torch::kCPU).to(torch::kBool).contiguous();
  if (mask.dim() != 2 || mask.size(0) != texts.rows || mask.size(1) != texts.positions) {
    throw LocationError("attention_mask has shape " + shape_text(mask.sizes()) + ", expected " +
                        shape_text(std::vector<std::int64_t>{texts.rows, texts.positions}));
  }
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const bool* tokens = mask.data_ptr<bool>() + row * texts.positions;
    std::int64_t begin = 0;
    std::int64_t end = texts.positions;
    while (begin < end && !tokens[begin]) ++begin;
    while (end > begin && !tokens[end - 1]) --end;
    texts.begin[row] = begin;
    texts.end[row] = end;
  }
  return texts;
}

AxisIndices resolve_positions(const AxisSelection& selection, const RowTexts& texts, const std::string& where) {
  check_rows(selection.rows.size(), texts.rows, where);
  // Rows of different texts turn one selection into different columns.
  const bool spread = selection.rows.size() > 1 || texts.rows == 1;
  AxisIndices columns;
  for (std::int64_t row = 0; row < texts.rows; ++row) {
    const RowSelection& picked = selection.rows[spread ? row : 0];
    std::vector<std::int64_t> indices;
    for (const Selector& selector : picked) {
      const std::string here = row_where(where, row, texts.rows);
      if (selector.kind == Selector::Kind::kToken) {
        append_token(selector, texts, row, here, indices);
      } else {
        const std::size_t before = indices.size();
        append_counted(selector, texts.end[row] - texts.begin[row], "position", here, indices);
        for (std::size_t i = before; i < indices.size(); ++i) indices[i] += texts.begin[row];
      }
    }
    columns.push_back(std::move(indices));
  }
  return columns;
}

AxisIndices resolve_axis(const AxisSelection& selection, std::int64_t rows, std::int64_t size, Axis axis,
                         const std::string& where) {
  check_rows(selection.rows.size(), rows, where);
  const std::string unit = axis == Axis::kHead ? "head" : "step";
  AxisIndices result;
  for (std::size_t row = 0; row < selection.rows.size(); ++row) {
    std::vector<std::int64_t> indices;
    for (const Selector& selector : selection.rows[row]) {
      const std::string here = row_where(where, row, selection.rows.size());
      if (size > 0) {
        append_counted(selector, size, unit, here, indices);
        continue;
      }
      // A count of steps is known only when the run is over.
      const bool countable =
          (selector.kind == Selector::Kind::kIndex && selector.begin >= 0) || selector.kind == Selector::Kind::kFirst ||
          (selector.kind == Selector::Kind::kSpan && selector.begin >= 0 && selector.end >= selector.begin);
      if (!countable)
        throw LocationError(here + ": " + unit +
                            "s are counted from 0, from the end they are not known before the run");
      append_counted(selector, std::max({selector.begin + 1, selector.end, std::int64_t{1}}), unit, here, indices);
    }
    result.push_back(std::move(indices));
  }
  return result;
}

}  // namespace vene
