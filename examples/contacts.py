import asyncio
from syncline import Counter, ListOf, Record, Replica, SetOf, Text

class Contact(Record, collection="contacts"):
    name: str
    phone: str | None = None
    notes: Text
    visits: Counter
    tags: SetOf[str]
    numbers: ListOf[str]

async def main() -> None:
    async with Replica.open("phone.db", models=[Contact], relay="ws://127.0.0.1:8765/crm") as replica:
        contacts = replica.collection(Contact)
        ada = contacts.create(name="Ada Lovelace")       # key: a UUIDv7 unless key="..." is given
        with replica.transaction("first call"):
            ada.phone = "+44 20 7946 0958"
            ada.notes.append("Called back.")
            ada.visits += 1
            ada.tags.add("math")
        await replica.synced()                           # everything so far is durable at the relay
        async for change in contacts.changes():          # created / updated / deleted, local or remote
            print(change.kind, change.record.name, change.fields)

asyncio.run(main())
