#include "handles.h"

const char* kindName(Kind kind) {
  static constexpr const char* names[kindCount] = {"context", "stream",   "event",  "pool",  "buffer",    "pinned memory",
                                                   "module",  "function", "launch", "graph", "graph executable",
                                                   "product"};
  return names[static_cast<int>(kind)];
}

Handle HandleTable::insert(std::unique_ptr<Object> object) {
  std::uint32_t slot;
  if (free_.empty()) {
    if (slots_.size() > slotMask) throw Failure(badArgument, "keep a handle", "more than 4,194,304 handles are alive");
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back();
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Slot& entry = slots_[slot];
  entry.generation = (entry.generation + 1) & 0x7fffffff;
  if (entry.generation == 0) entry.generation = 1;
  object->id = (Handle{entry.generation} << slotBits) | slot;
  if (Object* parent = find(object->parent); parent != nullptr) parent->children++;
  live_[static_cast<int>(object->kind)]++;
  const Handle id = object->id;
  entry.object = std::move(object);
  return id;
}

std::unique_ptr<Object> HandleTable::remove(Object& object, const std::string& doing) {
  if (object.children > 0)
    throw Failure(hasChildren, doing,
                  std::string("this ") + kindName(object.kind) + " still has " + std::to_string(object.children) +
                      " live object(s) made from it: release those first");
  if (object.pins > 0)
    throw Failure(busy, doing, std::string("something is waiting for this ") + kindName(object.kind));
  if (Object* parent = find(object.parent); parent != nullptr) parent->children--;
  live_[static_cast<int>(object.kind)]--;
  const auto slot = static_cast<std::uint32_t>(object.id & slotMask);
  epoch_++;
  std::unique_ptr<Object> owned = std::move(slots_[slot].object);
  free_.push_back(slot);
  return owned;
}

std::vector<Object*> HandleTable::all() const {
  std::vector<Object*> objects;
  for (const auto& slot : slots_)
    if (slot.object != nullptr) objects.push_back(slot.object.get());
  return objects;
}

void HandleTable::refuse(Handle handle, const Object* found, Kind wanted, const char* doing) {
  if (found == nullptr)
    throw Failure(staleHandle, doing,
                  std::string("the ") + kindName(wanted) + " (handle " + std::to_string(handle) +
                      ") is not alive: it was released, or never existed");
  throw Failure(wrongKind, doing, std::string("expected a ") + kindName(wanted) + ", got a " + kindName(found->kind));
}
