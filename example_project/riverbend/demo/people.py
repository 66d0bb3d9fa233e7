"""The people of the demo: five invented patients, and one member of staff."""

from dataclasses import dataclass
from typing import Final

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission

PASSWORD: Final = "riverbend"  # noqa: S105 - printed for everybody to use, on this machine only


@dataclass(frozen=True)
class Person:
    """Somebody who can sign in, with :data:`PASSWORD`."""

    username: str
    first_name: str
    last_name: str
    is_staff: bool = False


PAT: Final = Person("pat", "Pat", "Alvarez")
SAM: Final = Person("sam", "Sam", "Okafor")
JUNE: Final = Person("june", "June", "Whitfield")
TOMAS: Final = Person("tomas", "Tomas", "Lind")
MEI: Final = Person("mei", "Mei", "Tanaka")
STAFF: Final = Person("staff", "Robin", "Hale", is_staff=True)

_STAFF_PERMISSIONS: Final = "^(view|ask|export|process)_"

PEOPLE: Final = (PAT, SAM, JUNE, TOMAS, MEI, STAFF)


def create_people() -> None:
    """Create everybody, or make them as they should be where they exist.

    Staff may see the app's evidence, ask Medblocks again, export and process a delivery again: so
    that the demo shows every button. To look, the view permissions are enough.
    """
    users = get_user_model().objects
    for person in PEOPLE:
        user, _created = users.get_or_create(username=person.username)
        user.first_name = person.first_name
        user.last_name = person.last_name
        user.email = f"{person.username}@patients.example"
        user.is_staff = person.is_staff
        user.set_password(PASSWORD)
        user.save()
        if person.is_staff:
            ours = Permission.objects.filter(content_type__app_label="medblocks_connect")
            user.user_permissions.set(ours.filter(codename__regex=_STAFF_PERMISSIONS))
