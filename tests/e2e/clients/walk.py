"""Walks a tenant with Microsoft's own SDK: every user, mail folder, message, drive and item, typed.

  walk.py TENANT CLIENT_ID CLIENT_SECRET

The SDK parses each answer into its models and fails on what it can't parse. Prints one line of JSON: what
was seen, by kind. Any error ends it with status 1.
"""
import asyncio
import json
import sys
from collections import Counter

from azure.identity.aio import ClientSecretCredential
from kiota_abstractions.api_error import APIError
from kiota_abstractions.base_request_configuration import RequestConfiguration
from msgraph import GraphServiceClient
from msgraph.generated.models.drive_item import DriveItem
from msgraph.generated.models.mail_folder import MailFolder
from msgraph.generated.models.mail_search_folder import MailSearchFolder
from msgraph.generated.models.message import Message
from msgraph.generated.models.user import User
from msgraph.generated.users.item.mail_folders.mail_folders_request_builder import MailFoldersRequestBuilder

seen = Counter()


def typed(thing, kind):
    assert isinstance(thing, kind), f"{thing!r} is no {kind.__name__}"
    assert thing.id, f"a {kind.__name__} without id"
    return thing


async def pages(builder, configuration=None):
    """Every entry of a collection, over all its pages."""
    page = await builder.get(request_configuration=configuration)
    while True:
        for entry in page.value or []:
            yield entry
        if not page.odata_next_link:
            return
        page = await builder.with_url(page.odata_next_link).get()


async def messages(user, folder_id):
    async for message in pages(user.mail_folders.by_mail_folder_id(folder_id).messages):
        typed(message, Message)
        assert message.last_modified_date_time and message.parent_folder_id == folder_id
        assert message.is_draft is not None
        seen["messages"] += 1
        if seen["messages"] % 25 == 1:
            mime = await user.messages.by_message_id(message.id).content.get()
            assert mime and b":" in mime, f"no MIME for {message.id}"
            seen["mime"] += 1
        if message.has_attachments:
            attachments = await user.messages.by_message_id(message.id).attachments.get()
            seen["attachments"] += len(attachments.value)


async def folders(user, builder):
    query = MailFoldersRequestBuilder.MailFoldersRequestBuilderGetQueryParameters(include_hidden_folders="true")
    async for folder in pages(builder, RequestConfiguration(query_parameters=query)):
        typed(folder, MailFolder)
        assert folder.display_name is not None and folder.total_item_count is not None
        seen["folders"] += 1
        if isinstance(folder, MailSearchFolder):
            # What it finds is in other folders.
            seen["search folders"] += 1
            continue
        await messages(user, folder.id)
        if folder.child_folder_count:
            await folders(user, user.mail_folders.by_mail_folder_id(folder.id).child_folders)


async def items(drive, item_id):
    async for item in pages(drive.items.by_drive_item_id(item_id).children):
        typed(item, DriveItem)
        assert item.name and item.e_tag and item.parent_reference.drive_id and item.file_system_info
        seen["items"] += 1
        if item.remote_item:
            seen["shortcuts"] += 1
        elif item.folder:
            seen["notebooks"] += 1 if item.package else 0
            await items(drive, item.id)
        elif item.malware:
            seen["malware"] += 1
        else:
            assert item.file, f"{item.name} is nothing"
            seen["files"] += 1
            seen["bytes"] += item.size
            if seen["files"] % 20 == 1:
                content = await drive.items.by_drive_item_id(item.id).content.get()
                assert len(content or b"") == item.size, f"{item.name}: {len(content or b'')} bytes, not {item.size}"
                seen["downloads"] += 1
                versions = await drive.items.by_drive_item_id(item.id).versions.get()
                assert versions.value[0].size == item.size
                permissions = await drive.items.by_drive_item_id(item.id).permissions.get()
                assert permissions.value and all(p.id for p in permissions.value)


async def delta(drive, root_id):
    """The same tree by delta: as many items, and a link for the next round."""
    builder = drive.items.by_drive_item_id(root_id).delta
    page = await builder.get()
    ids = set()
    while True:
        ids.update(typed(item, DriveItem).id for item in page.value)
        if page.odata_delta_link:
            break
        page = await builder.with_url(page.odata_next_link).get()
    page = await builder.with_url(page.odata_delta_link).get()
    assert page.value == [] and page.odata_delta_link
    return len(ids)


async def one_user(graph, listed):
    user = graph.users.by_user_id(listed.id)
    assert (await user.get()).user_principal_name == listed.user_principal_name
    try:
        await folders(user, user.mail_folders)
        seen["mailboxes"] += 1
    except APIError as error:
        assert error.response_status_code in (403, 404), error
    try:
        drive = await user.drive.get()
    except APIError as error:
        assert error.response_status_code == 404, error
        return
    assert drive.drive_type == "business" and drive.quota.total > 0
    seen["drives"] += 1
    drive = graph.drives.by_drive_id(drive.id)
    root = await drive.root.get()
    assert root.root is not None
    before = seen["items"]
    await items(drive, root.id)
    assert await delta(drive, root.id) == seen["items"] - before + 1


async def main():
    tenant, client, secret = sys.argv[1:]
    async with ClientSecretCredential(tenant, client, secret) as credential:
        graph = GraphServiceClient(credential, scopes=["https://graph.microsoft.com/.default"])
        async for user in pages(graph.users):
            typed(user, User)
            seen["users"] += 1
            await one_user(graph, user)
    print(json.dumps(seen))


asyncio.run(main())
